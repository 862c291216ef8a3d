"""The backend inside other servers."""
