import bnlab as bn

with bn.Network("mix ture") as net:
    mu = bn.parameter('mu"""\nimport os', bn.Real())
    with bn.plate("n"):
        x = bn.observed("\u03c7", bn.Normal(mu, var=1.0))
