"""What serves a load best: candidates, a screening of all of them, simulations of the best."""
