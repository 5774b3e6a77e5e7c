"""One Locust file for each profile; `python -m locust -f loadtests/profiles/NAME.py`."""
