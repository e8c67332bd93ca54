import bnlab as bn

with bn.Network("walk") as net:
    with bn.chain("t"):
        y = bn.observed("y", bn.Normal(bn.previous("y", 0), var=1.0), first=bn.Normal(0.0, var=1.0))
