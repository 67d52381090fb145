"""The small data set of the tests of data sets."""

from ..datasets.conftest import root as root
