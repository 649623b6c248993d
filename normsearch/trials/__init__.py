"""From a trial's configuration to its network and its training; exported models; prediction."""
