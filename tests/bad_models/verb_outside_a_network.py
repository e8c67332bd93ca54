import bnlab as bn

mu = bn.parameter("mu", bn.Real())
