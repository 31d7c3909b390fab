"""What a script of Braid may use beside Python itself: `from braid_guest import http`."""
