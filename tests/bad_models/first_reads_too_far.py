import bnlab as bn

with bn.Network("walk") as net:
    with bn.chain("t"):
        y = bn.observed("y", bn.Normal(bn.previous("y"), var=1.0), first=bn.Normal(bn.previous("y"), var=2.0))
