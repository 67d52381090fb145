"""Operations that the model spends its time in, written for the CPU."""
