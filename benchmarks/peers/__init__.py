"""What this service is compared with, as a user of each tool would write it. Each is a process of its own."""
