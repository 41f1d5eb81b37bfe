"""Tables of scores in; forgetting, biased forgetting, order effect and recovery out. Pure."""
