import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("n"), bn.plate("n"):
        x = bn.observed("x", bn.Normal(0.0, var=1.0))
