"""The Python client. `longlink.connect` is the door; client.py is what stands behind it."""

import logging

# A library writes nothing to stderr unless the application has set up logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())
