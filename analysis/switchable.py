"""placeholder"""

by_batch = by_slot = by_block = None
