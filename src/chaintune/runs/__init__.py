"""One whole run: a study, a scoring, a mitigation; what is prepared, computed and written."""

import chaintune.hf  # noqa: F401 - says what to install
