"""From a trained model to answers: the portable folder, what goes into it and what comes out."""
