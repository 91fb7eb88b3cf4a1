"""What the notebooks call."""

import warnings

# Said at the first import of `datasets` in a kernel; there are no progress bars to draw.
warnings.filterwarnings("ignore", message="IProgress not found")
