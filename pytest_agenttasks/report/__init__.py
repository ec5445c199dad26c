"""What people read: safe text, the table, transcripts, the event log."""
