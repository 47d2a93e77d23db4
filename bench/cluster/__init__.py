"""How much faster is a run on more nodes?"""
