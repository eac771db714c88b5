"""What one converter lacks or gets wrong, written so that it is right."""
