"""Labels as a model has them: targets, answers, and how well the answers agree. All of it without torch."""
