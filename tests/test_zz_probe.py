import time
from tests.opened import opened, fingerprint
from pytest_agenttasks import preflight, gates
def test_x(project, repository):
    t=time.time()
    with opened(repository) as run:
        print("open", time.time()-t); t=time.time()
        preflight.check(run, print); print("check", time.time()-t); t=time.time()
        preflight.check(run, print); print("check2", time.time()-t); t=time.time()
    repository.git("switch","-q","--detach")
    t=time.time(); f=fingerprint(repository.path); print("fp", time.time()-t); t=time.time()
    project.task("001-x")
    r=project.run(); print("run", time.time()-t, r.status, r.output)
