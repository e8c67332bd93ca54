"""The waist: named statements over a closed set of array operations with named axes. Knows no statistics and
no JAX.
"""
