"""That tests ran: reports of gates, what they hold, and how it compares with the base's."""
