"""What every test wants, however it is started: one thread, and no pictures on a screen."""

import os

# Set before anything imports torch, numba or matplotlib; processes that the tests start inherit it.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["MPLBACKEND"] = "agg"
