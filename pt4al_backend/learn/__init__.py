"""What is learned, with torch: networks, pretext tasks, main tasks, companions and the training loop."""
