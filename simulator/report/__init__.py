"""What people look at: tables, breakdowns, and the same answers as JSON, CSV and Markdown."""
