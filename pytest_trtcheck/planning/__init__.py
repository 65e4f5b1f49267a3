"""From a stack that does not work to the nearest known sets that do, each judged before it is proposed."""
