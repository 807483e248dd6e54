"""The laws of the step algebra, and the generators that check them."""
