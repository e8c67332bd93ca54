import bnlab as bn

with bn.Network("chain") as net:
    with bn.plate("k", 2):
        A = bn.parameter("A", bn.Simplex(2))
    with bn.chain("t"):
        z = bn.latent("z", bn.Categorical(A[bn.previous("z")]))
