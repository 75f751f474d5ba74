"""polyscan reads the scans of one patient together: MRI, CT and PET, whichever of them are there.

The names below are the stable interface. Each is imported when it is first used, so that ``import polyscan`` is quick.

Example:
    >>> import polyscan
    >>> (study,) = polyscan.find_studies("ward/")
    >>> sorted(study.scans)
    ['FLAIR', 'T1c']
    >>> bundle = polyscan.load_bundle("brain_mri_tumour_segmentation")
    >>> prediction = bundle.predict(study)  # T1 and T2 were not acquired
    >>> prediction.reference, prediction.mask.shape
    ('T1c', torch.Size([1, 66, 76, 68]))
"""

from polyscan import lazy

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
