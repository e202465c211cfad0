"""Events: generators of particle collisions and decays, and networks that take their place."""

from simgraft.events.columns import DILEPTON, TOP_PAIR, TWO_BODY, Column, Layout
from simgraft.events.sample import Events
from simgraft.events import chain, files, flows, models, observables, small_coordinates, top_coordinates
from simgraft.events.phase_space import PhaseSpace, RamboOnDiet
from simgraft.events.pythia import PythiaDilepton, PythiaTopPair
from simgraft.events.dilepton import Dilepton, radiator
from simgraft.events.laws import BreitWigner, Fixed, Gaussian, Uniform
from simgraft.events.ttbar import TopPair
from simgraft.events.two_body import TwoBody
