import bnlab as bn

with bn.Network("walk") as net:
    mu = bn.parameter("mu", bn.Real())
    with bn.chain("t"):
        y = bn.observed("y", bn.Normal(bn.previous("mu"), var=1.0), first=bn.Normal(mu, var=1.0))
