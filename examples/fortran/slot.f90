! SPDX-License-Identifier: BSD-3-Clause
!
! The slot of the flame tube: the kernel, or what stands in for it. The host knows only slot_rates.
module slot
   use, intrinsic :: iso_c_binding, only: c_double, c_float, c_int
   use omp_lib, only: omp_get_max_threads, omp_get_thread_num
   use chemistry, only: burn_row, frozen_row
   use simgraft
   implicit none
   private
   public :: slot_open, slot_rates, slot_close

   integer, parameter :: block = 64 !! cells of one task

   !! Counts of the run; guard is the sum over the threads.
   integer, public, protected        :: calls   = 0
   real(c_double), public, protected :: seconds = 0 !! of CPU, all threads [s]
   type(sg_guard), public, protected :: guard

   !! What one thread needs beside the surrogate, which all share.
   type :: thread_data
      integer(sg_byte), allocatable :: work(:)
      type(sg_guard) :: guard
      type(sg_error) :: error
   end type

   character(:), allocatable      :: what
   type(sg_surrogate)             :: surrogate
   type(thread_data), allocatable :: threads(:)

contains

   subroutine slot_open(kind, file, error)
      character(*), intent(in)      :: kind !! 'kernel', 'rounded' (to 32 bits), 'frozen' or 'surrogate'
      character(*), intent(in)      :: file !! of the surrogate
      type(sg_error), intent(inout) :: error
      integer :: i
      what = kind
      select case (kind)
      case ('kernel', 'rounded', 'frozen')
         return
      case ('surrogate')
      case default
         error%status  = SG_ERR_VALUE
         error%message = "slot: expected 'kernel', 'rounded', 'frozen' or 'surrogate', got '" // kind // "'"
         return
      end select
      call surrogate%open(file, error)
      if (error%status /= SG_OK) return
      allocate (threads(0:omp_get_max_threads() - 1))
      do i = 0, ubound(threads, 1)
         allocate (threads(i)%work(surrogate%workspace_bytes()))
         threads(i)%guard%policy = SG_GUARD_FALLBACK
         threads(i)%guard%fallback => burn_row
      end do
   end subroutine

   !! Rates of all cells of this rank: x and y are arrays over the cells, one for each variable.
   subroutine slot_rates(x, y, error)
      real(c_double), intent(in)    :: x(:, :) !! (cells, 2) temperature [K], fuel [1]
      real(c_double), intent(inout) :: y(:, :) !! (cells, 2) rates of burning [s-1] and of nitric oxide [s-1]
      type(sg_error), intent(inout) :: error
      real(c_double) :: start, stop
      integer :: i
      call cpu_time(start)
      !$omp parallel do schedule(static)
      do i = 1, size(x, 1), block
         associate (last => min(i + block - 1, size(x, 1)))
            if (what == 'surrogate') then
               associate (my => threads(omp_get_thread_num()))
                  ! a part of larger arrays, read and written where it is
                  call surrogate%eval_columns(x(i:last, :), y(i:last, :), my%work, my%error, my%guard)
               end associate
            else
               call by_kernel(x(i:last, :), y(i:last, :))
            end if
         end associate
      end do
      !$omp end parallel do
      call cpu_time(stop)
      seconds = seconds + (stop - start)
      calls   = calls + 1
      if (what /= 'surrogate') return
      do i = 0, ubound(threads, 1)
         if (threads(i)%error%status /= SG_OK) error = threads(i)%error
      end do
   end subroutine

   subroutine by_kernel(x, y)
      real(c_double), intent(in)    :: x(:, :)
      real(c_double), intent(inout) :: y(:, :)
      integer        :: i
      integer(c_int) :: status
      do i = 1, size(x, 1)
         if (what == 'frozen') then
            call frozen_row(x(i, :), y(i, :), status)
         else
            call burn_row(x(i, :), y(i, :), status)
         end if
      end do
      if (what == 'rounded') y = real(real(y, c_float), c_double)
   end subroutine

   subroutine slot_close
      integer :: i
      if (.not. allocated(threads)) return
      do i = 0, ubound(threads, 1)
         call guard%add(threads(i)%guard)
      end do
      deallocate (threads)
      call surrogate%close()
   end subroutine
end module slot
