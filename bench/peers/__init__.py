"""Echo servers of other makes, measured in the same run. Each prints its port and serves until it is killed."""
