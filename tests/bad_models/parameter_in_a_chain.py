import bnlab as bn

with bn.Network("walk") as net:
    with bn.chain("t"):
        sigma2 = bn.parameter("sigma2", bn.Positive())
        y = bn.observed("y", bn.Normal(bn.previous("y"), var=sigma2), first=bn.Normal(0.0, var=sigma2))
