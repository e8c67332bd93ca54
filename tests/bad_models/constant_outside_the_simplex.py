import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("n"):
        z = bn.observed("z", bn.Categorical([0.5, 0.6]))
        x = bn.observed("x", bn.Normal([0.0, float("nan")], cov=[[1.0, 0.0], [0.1, 1.0]]))
