"""What an operator touches: the control socket, systemd."""
