import bnlab as bn

with bn.Network("walk") as net:
    with bn.plate("n"):
        y = bn.observed("y", bn.Normal(bn.previous("y"), var=1.0), first=bn.Normal(0.0, var=1.0))
