"""Training: settings, datasets, augmentation, draws, the loop.

Imports the rest of hf_unet and is never imported by it.
"""

import os

# albumentations asks PyPI for its newest version when it is imported, which waits for the network
# and tells strangers of it. This stands here because it runs before any module of this package.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
