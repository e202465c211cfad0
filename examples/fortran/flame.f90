! SPDX-License-Identifier: BSD-3-Clause
!
! A premixed flame in a tube: temperature, fuel and nitric oxide are carried by the flow, diffuse and react in one
! dimension. Fresh gas enters on the left; burnt gas lies on the right, and the flame runs against the flow. First-order
! upwind advection, central diffusion with Lewis number one, explicit in time; the reaction is the slot.
!
!     ./flame flame.nml              mpirun -n 2 ./flame_mpi flame.nml
!
! The fields are written as comma-separated values with 17 digits, which keep every bit; they do not depend on the number of
! threads and ranks.
program flame
   use, intrinsic :: iso_c_binding, only: dp => c_double
   use, intrinsic :: iso_fortran_env, only: error_unit
   use chemistry, only: time_step, heat_of_burning
   use domain
   use simgraft, only: sg_error, SG_OK
   use slot
   implicit none

   real(dp), parameter :: fresh_temperature = 300 !! [K]

   integer        :: cells     = 256
   integer        :: steps     = 600
   real(dp)       :: length    = 0.0256_dp !! [m]
   real(dp)       :: velocity  = 0.4_dp    !! of the flow [m s-1]
   real(dp)       :: diffusion = 1.0e-4_dp !! [m2 s-1]
   character(20)  :: kernel    = 'kernel'  !! what is in the slot
   character(500) :: surrogate = ''        !! its file
   character(500) :: output    = 'flame.csv'
   character(500) :: record    = ''        !! file for inputs and outputs of the slot in the last step, '' for none
   namelist /tube/ cells, steps, length, velocity, diffusion, kernel, surrogate, output, record

   real(dp), allocatable :: temperature(:), fuel(:), oxide(:) !! (0 : cells of this rank + 1)
   real(dp), allocatable :: x(:, :), y(:, :)                  !! (cells of this rank, 2)
   type(sg_error)        :: error
   integer :: first, last, n, step

   call domain_start
   call read_namelist
   call domain_share(cells, rank, first, last)
   n = last - first + 1
   allocate (temperature(0:n + 1), fuel(0:n + 1), oxide(0:n + 1), x(n, 2), y(n, 2))
   call set_start
   call slot_open(trim(kernel), trim(surrogate), error)
   if (any_rank(error%status /= SG_OK)) call give_up
   do step = 1, steps
      call carry(temperature, fresh_temperature)
      call carry(fuel, 1.0_dp)
      call carry(oxide, 0.0_dp)
      x(:, 1) = temperature(1:n)
      x(:, 2) = fuel(1:n)
      call slot_rates(x, y, error)
      if (any_rank(error%status /= SG_OK)) call give_up
      call react
   end do
   call slot_close
   call write_fields
   if (record /= '') call write_record
   call tell
   call domain_stop

contains

   subroutine read_namelist
      character(500) :: file
      integer        :: unit, status
      call get_command_argument(1, file)
      open (newunit=unit, file=file, status='old', action='read', iostat=status)
      if (status == 0) read (unit, nml=tube, iostat=status)
      if (status /= 0) then
         error%message = "cannot read the namelist tube from '" // trim(file) // "'"
         call give_up
      end if
      close (unit)
   end subroutine

   subroutine set_start
      integer :: i
      do i = 1, n
         if (first + i - 1 > cells - cells / 4) then
            temperature(i) = fresh_temperature + heat_of_burning
            fuel(i)        = 1.0e-3_dp
         else
            temperature(i) = fresh_temperature
            fuel(i)        = 1
         end if
      end do
      oxide = 0
   end subroutine

   !! One step of advection and diffusion.
   subroutine carry(field, inflow)
      real(dp), intent(inout) :: field(0:)
      real(dp), intent(in)    :: inflow
      real(dp) :: courant, fourier
      courant = velocity * time_step * cells / length
      fourier = diffusion * time_step * (cells / length)**2
      call exchange(field, inflow)
      field(1:n) = field(1:n) - courant * (field(1:n) - field(0:n - 1)) &
                   + fourier * (field(2:n + 1) - 2 * field(1:n) + field(0:n - 1))
   end subroutine

   subroutine react
      real(dp) :: burnt
      integer :: i
      do i = 1, n
         burnt          = fuel(i) * (1 - exp(-y(i, 1) * time_step))
         fuel(i)        = max(fuel(i) - burnt, 1.0e-6_dp)
         temperature(i) = temperature(i) + heat_of_burning * burnt
         oxide(i)       = oxide(i) + y(i, 2) * time_step
      end do
   end subroutine

   subroutine write_fields
      real(dp), allocatable :: all_temperature(:), all_fuel(:), all_oxide(:)
      integer :: i, unit
      call gather(temperature(1:n), cells, all_temperature)
      call gather(fuel(1:n), cells, all_fuel)
      call gather(oxide(1:n), cells, all_oxide)
      if (rank /= 0) return
      open (newunit=unit, file=output, status='replace', action='write')
      write (unit, '(a)') 'x,temperature,fuel,nitric_oxide'
      do i = 1, cells
         write (unit, '(es24.16e3, 3(",", es24.16e3))') (i - 0.5_dp) * length / cells, all_temperature(i), all_fuel(i), &
            all_oxide(i)
      end do
      close (unit)
   end subroutine

   subroutine write_record
      type :: column
         real(dp), allocatable :: values(:)
      end type
      type(column) :: all(4)
      integer :: i, k, unit
      do k = 1, 2
         call gather(x(:, k), cells, all(k)%values)
         call gather(y(:, k), cells, all(k + 2)%values)
      end do
      if (rank /= 0) return
      open (newunit=unit, file=record, status='replace', action='write')
      write (unit, '(a)') 'temperature,fuel,burning,nitric_oxide'
      do i = 1, cells
         write (unit, '(es24.16e3, 3(",", es24.16e3))') (all(k)%values(i), k=1, 4)
      end do
      close (unit)
   end subroutine

   !! The line that simgraft's ExecutableHost reads, and what the guard has seen.
   subroutine tell
      real(dp) :: spent, rows, outside
      spent   = total(seconds)
      rows    = total(real(calls, dp) * n)
      outside = total(real(guard%n_outside, dp))
      if (rank /= 0) return
      print '(a, i0, a, i0, a, es12.5)', 'simgraft slot: calls=', calls, ' rows=', nint(rows), ' seconds=', spent
      if (kernel == 'surrogate') print '(i0, a)', nint(outside), ' rows outside the domain, computed by the kernel'
   end subroutine

   subroutine give_up
      if (error%message /= '') write (error_unit, '(a)') trim(error%message)
      call domain_stop
      stop 1
   end subroutine
end program flame
