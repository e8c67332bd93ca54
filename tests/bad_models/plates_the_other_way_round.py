import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("a"), bn.plate("b"):
        x = bn.observed("x", bn.Normal(0.0, var=1.0))
    with bn.plate("b"), bn.plate("a"):
        y = bn.observed("y", bn.Normal(0.0, var=1.0))
