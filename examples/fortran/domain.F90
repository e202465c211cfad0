! SPDX-License-Identifier: BSD-3-Clause
!
! Cells over MPI ranks, or all in one process without USE_MPI.
module domain
   use, intrinsic :: iso_c_binding, only: c_double
#ifdef USE_MPI
   use mpi_f08
#endif
   implicit none
   private
   public :: domain_start, domain_stop, domain_share, exchange, gather, total, any_rank

   integer, public, protected :: rank = 0, ranks = 1

contains

   subroutine domain_start
#ifdef USE_MPI
      call MPI_Init
      call MPI_Comm_rank(MPI_COMM_WORLD, rank)
      call MPI_Comm_size(MPI_COMM_WORLD, ranks)
#endif
   end subroutine

   subroutine domain_stop
#ifdef USE_MPI
      call MPI_Finalize
#endif
   end subroutine

   !! First and last of n cells that belong to rank r, counted from 1.
   pure subroutine domain_share(n, r, first, last)
      integer, intent(in)  :: n, r
      integer, intent(out) :: first, last
      first = n * r / ranks + 1
      last  = n * (r + 1) / ranks
   end subroutine

   !! Fills the cells beyond both ends of this rank's part: from the neighbours, with the inflow at the left end of the tube,
   !! and without gradient at its right end.
   subroutine exchange(field, inflow)
      real(c_double), intent(inout) :: field(0:)
      real(c_double), intent(in)    :: inflow
      integer :: last
      last = ubound(field, 1) - 1
#ifdef USE_MPI
      block
         integer :: left, right
         left  = merge(rank - 1, MPI_PROC_NULL, rank > 0)
         right = merge(rank + 1, MPI_PROC_NULL, rank < ranks - 1)
         call MPI_Sendrecv(field(last), 1, MPI_DOUBLE_PRECISION, right, 1, &
                           field(0), 1, MPI_DOUBLE_PRECISION, left, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
         call MPI_Sendrecv(field(1), 1, MPI_DOUBLE_PRECISION, left, 2, &
                           field(last + 1), 1, MPI_DOUBLE_PRECISION, right, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
      end block
#endif
      if (rank == 0) field(0) = inflow
      if (rank == ranks - 1) field(last + 1) = field(last)
   end subroutine

   !! All n cells on rank 0.
   subroutine gather(mine, n, all)
      real(c_double), intent(in)               :: mine(:)
      integer, intent(in)                      :: n
      real(c_double), allocatable, intent(out) :: all(:)
      integer :: first, last
      allocate (all(merge(n, 0, rank == 0)))
      call domain_share(n, rank, first, last)
      if (rank == 0) all(first:last) = mine
#ifdef USE_MPI
      block
         integer :: r
         if (rank > 0) call MPI_Send(mine, size(mine), MPI_DOUBLE_PRECISION, 0, 3, MPI_COMM_WORLD)
         do r = 1, merge(ranks - 1, 0, rank == 0)
            call domain_share(n, r, first, last)
            call MPI_Recv(all(first), last - first + 1, MPI_DOUBLE_PRECISION, r, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
         end do
      end block
#endif
   end subroutine

   !! Sum over all ranks.
   real(c_double) function total(mine)
      real(c_double), intent(in) :: mine
      total = mine
#ifdef USE_MPI
      call MPI_Allreduce(mine, total, 1, MPI_DOUBLE_PRECISION, MPI_SUM, MPI_COMM_WORLD)
#endif
   end function

   logical function any_rank(failed)
      logical, intent(in) :: failed
      any_rank = failed
#ifdef USE_MPI
      call MPI_Allreduce(failed, any_rank, 1, MPI_LOGICAL, MPI_LOR, MPI_COMM_WORLD)
#endif
   end function
end module domain
