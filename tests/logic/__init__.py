"""The commands over the real store. Read next: stage.py."""
