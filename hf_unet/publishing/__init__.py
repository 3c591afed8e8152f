"""From a run to a repository on the Hub: assembled, verified, uploaded in one commit, tagged."""

from hf_unet.publishing.assembly import SampleImage, assemble
from hf_unet.publishing.refusals import PublishError
from hf_unet.publishing.upload import Publication, publish

__all__ = ["Publication", "PublishError", "SampleImage", "assemble", "publish"]
