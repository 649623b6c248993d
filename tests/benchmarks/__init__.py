"""Speed and memory, by hand or by ``make bench``; ratios side by side in one run."""
