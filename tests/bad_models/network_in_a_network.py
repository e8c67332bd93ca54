import bnlab as bn

with bn.Network("outer") as net:
    with bn.Network("inner") as other:
        pass
