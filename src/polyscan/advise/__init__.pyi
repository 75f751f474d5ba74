from polyscan.advise.advice import Advice as Advice, advise as advise
from polyscan.advise.describe import (
    Description as Description,
    describe_arrays as describe_arrays,
    describe_manifest as describe_manifest,
)
from polyscan.advise.write import as_text as as_text, commands_of as commands_of, write_advice as write_advice
