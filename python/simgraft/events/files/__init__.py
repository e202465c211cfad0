"""Events from and to the files of the field: LHE, LHEH5, HepMC3, ROOT, and the csv tables of CMS open data.

Files are read by the libraries that the field uses (pylhe, h5py, pyhepmc, uproot), imported where they are
needed: ``pip install 'simgraft[events]'``. What is read is put into the columns of a layout:

=================== ===================================================================================
layout              taken from the final particles (status 1) of an event
=================== ===================================================================================
:data:`TWO_BODY`    two particles: those of the codes ``daughters``, or the only two there are
:data:`DILEPTON`    one pair e- e+ or mu- mu+; further particles (photons, partons) are passed over
:data:`TOP_PAIR`    partons: quarks and gluons as jets in order of pT (the first four), charged leptons in
                    order of pT (the first two), the neutrinos' transverse momentum as the missing one
=================== ===================================================================================

Energies and momenta are in GeV. Events are counted from 0 in the order of the file. A file that is not sound
raises :class:`EventFileError`, which names the file, the event and the field; :func:`iterate` has handed over
all events before it by then.
"""

from simgraft.events.files._common import EventFileError
from simgraft.events.files.cms import read_cms_dimuon_csv
from simgraft.events.files.formats import iterate, read, write
from simgraft.events.files.hepmc import read_hepmc, write_hepmc
from simgraft.events.files.lhe import read_lhe, write_lhe
from simgraft.events.files.lheh5 import read_lheh5, write_lheh5
from simgraft.events.files.root import read_root, write_root
