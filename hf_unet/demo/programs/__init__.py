"""What programs and assistants may ask of the demo."""
