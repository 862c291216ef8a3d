"""What the backend says to Label Studio, and how it reads the answers."""
